"""Long runs: which rows are sampled, how a stopped run resumes, how work is spread over machines."""

"""How texts and labels are put to frozen backbones: what people pass, prompts, scores, the languages a backbone reads."""

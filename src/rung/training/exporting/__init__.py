"""Export of a classifier as one ONNX or OpenVINO graph that runs without rung."""

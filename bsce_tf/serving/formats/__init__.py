"""Exports for other programs than TensorFlow Serving: ONNX and LiteRT, from decoded images on."""

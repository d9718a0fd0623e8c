"""Any model file as one function of images: Keras, LiteRT, ONNX, SavedModel."""

"""Fine-tuning for int8 on a Keras 2 twin, see `quantization_aware`."""

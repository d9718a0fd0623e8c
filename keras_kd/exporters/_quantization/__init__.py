"""Fine-tuning for int8 on a Keras 2 twin, see `quantization_aware`."""

# What to do with a model that it is not for.
INSTEAD = "use the format int8 or dynamic."

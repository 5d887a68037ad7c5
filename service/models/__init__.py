"""What is served: a module with the shape of its input and the meaning of its output."""

from tailgate.service.models.spec import ImageInput, Model, TensorSpec

__all__ = ["ImageInput", "Model", "TensorSpec"]

"""What is served: a module with the shape of its input and the meaning of its output.

`spec` is the value that the rest of the service sees; `load` finds it by the name in ``TAILGATE_MODEL``; `weights`
reads files; `demo` is the trained model that comes without a network; `folding` makes any of them cheaper.
"""

from tailgate.service.models.spec import ImageInput, Model, TensorSpec

__all__ = ["ImageInput", "Model", "TensorSpec"]

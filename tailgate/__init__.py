"""tailgate: a batching PyTorch inference service, and a gate in pytest for the latency of any HTTP service.

What a plugin or a test may import from here stands in ``__init__.pyi``; each name is loaded when it is first asked for.
All else may change without notice.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

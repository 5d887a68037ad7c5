from .kit import FakeClock as FakeClock
from .kit import criterion_result as criterion_result
from .kit import fake_server_spec as fake_server_spec
from .kit import run_result as run_result
from .kit import samples as samples

"""Compare: many cheap requests, since samples are what a comparison sees small changes with. Not run without a base."""

from tailgate import SLOT_REQUESTS, ComparisonLoad, Phase, Poisson, Profile, Ref, When

SIDE_PIXELS = 64
WARM_UP_REQUESTS = 60
# One thread computes; of raw pixels the others have little to do.
PROCESSORS = 1
# A small model from raw pixels: little to decode, so that what is compared is the service. Executor and largest batch are
# fixed: left open they are chosen at start by measuring, and two starts of the same code may choose differently.
SERVICE = (
    ("TAILGATE_MODEL", "torchvision:mobilenet_v3_small"),
    ("TAILGATE_WEIGHTS", "random"),
    ("TAILGATE_INPUT_SIZE", str(SIDE_PIXELS)),
    ("TAILGATE_EXECUTOR", "eager"),
    ("TAILGATE_MAX_BATCH_SIZE", "16"),
    ("TAILGATE_THREADS", "1"),
)


def scenario(_: Profile) -> ComparisonLoad:
    """Build it; budget key ``rate``. How long a run takes is the comparison's, so the profile has no say."""
    rate = Ref("rate")
    return ComparisonLoad(
        name="compare",
        description="Poisson arrivals of small, cheap requests, for head and base by turns",
        phases=(
            Phase("warm-up", Poisson(rate), requests=WARM_UP_REQUESTS, measured=False),
            Phase("compare", Poisson(rate), requests=SLOT_REQUESTS),
        ),
        criteria=(),
        when=When.NAMED,
        environment=SERVICE,
        source=f"pixels:{SIDE_PIXELS}",
        processors=PROCESSORS,
    )

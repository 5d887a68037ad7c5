"""The names of the files that generator and parent share, beside the plan's."""

SETTINGS = "load.json"
SAMPLES = "samples.bin"
LOG = "generator.log"

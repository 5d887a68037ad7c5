"""From an estimate and its limit to PASS, FAIL, INCONCLUSIVE or INVALID."""

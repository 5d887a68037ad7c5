"""How much longer a request of the served program takes, as a share; a planted copy of this file says another one."""

SHARE = 0.0

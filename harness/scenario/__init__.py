"""What is asked: phases of load, when requests leave, what they carry, and the budgets that hold them."""

"""What is measured: a program that the harness starts, or an address; how it is started, asked and ended."""

"""The harness's load generator: is it true, how fast is it, does it know its limits? See docs/explanation/load-generation.md."""

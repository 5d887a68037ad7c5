"""What is served beside /predict: the metrics, the document, and the pages of the Open Inference Protocol."""

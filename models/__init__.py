"""The classifier: Japanese text in, calibrated probabilities per label out.

Knows nothing of Kafka, policy or punishment; `workers` imports it, never the other way round.
"""

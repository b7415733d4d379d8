"""The streaming moderation worker: posts from Kafka in, decisions, actions, escalations and care out."""

__version__ = "0.1.0"

"""relayd: a standalone SMTP relay daemon that keeps a delivery history anyone can query."""

__version__ = "0.1.0"

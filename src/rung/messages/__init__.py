"""What people read, in English and in Chinese: every message is written in English where it is needed, and looked up here."""

from rung.messages.catalog import Localized, catalog, language, message, tr, tr_n

__all__ = ["Localized", "catalog", "language", "message", "tr", "tr_n"]

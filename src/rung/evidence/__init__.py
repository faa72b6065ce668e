"""What frozen backbones say about texts and labels, as arrays, and where it is kept."""

from rung.evidence.evidence import Array, Backbone, Evidence, Long, Progress, Role, reads_images, temperature_of, unit

__all__ = ["Array", "Backbone", "Evidence", "Long", "Progress", "Role", "reads_images", "temperature_of", "unit"]

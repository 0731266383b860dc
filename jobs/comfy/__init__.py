"""Speaks to ComfyUI: HTTP, events, workflows. Knows nothing of Django models."""

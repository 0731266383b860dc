"""Small helpers that hold no models and know nothing of the apps."""

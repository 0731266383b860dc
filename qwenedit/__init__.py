"""QwenEdit: edit photos with words."""

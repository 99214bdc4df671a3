"""User segments: which users an item, or all items of an attribute, will find; the only recipes that rank users."""

"""The stages of a pipeline, one small module each, in the order in which a request goes through them."""

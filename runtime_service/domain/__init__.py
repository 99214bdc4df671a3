"""The rules of answering, without any transport or storage."""

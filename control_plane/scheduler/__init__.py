"""Trains solutions when their schedules say so."""

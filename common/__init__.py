"""What every process shares; knows no service and no algorithm."""

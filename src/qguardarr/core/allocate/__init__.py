"""How a cap is divided."""

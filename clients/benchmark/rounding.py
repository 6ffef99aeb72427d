"""Numbers in tables and pages."""


def figure(value: float) -> str:
    """Returns a number with three significant digits, or all digits before the point."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"

"""Pure functions on masks, arrays and frames: overlap, agreement, intervals, tables, figures."""

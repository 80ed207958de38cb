"""How results look: tables, plots, pages; for report, export and tracking alike."""

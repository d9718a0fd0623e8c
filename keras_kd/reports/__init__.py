"""Reports for people: model cards, pictures, tables of finished runs."""

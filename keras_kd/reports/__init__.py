"""What people read: model cards, pictures, tables of finished runs."""

"""What looks at pictures and says what it sees."""

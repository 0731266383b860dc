"""What somebody has said and chosen so far, read from messages and kept in the chat's row."""

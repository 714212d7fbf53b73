"""Which of two systems starts: the scheme that boot loader, updates and tests share, and the files it is kept in."""

"""What the project's figures are measured on and with; run from the repository, not part of the installed package."""

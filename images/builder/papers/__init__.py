"""What lies beside an image for those who want to know what is in it, and whether it is whole and ours."""

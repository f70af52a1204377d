/* placeholder, written after the code settles */

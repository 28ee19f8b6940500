"""`relayd sites`: how mail is given to those who said that it is too much, or that they do not trust us."""

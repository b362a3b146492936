"""`cardcore replay`: drive a running service over HTTP with published retail transactions, and prove the control totals."""

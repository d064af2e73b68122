"""The synthetic demo cohort: tables and images with a known truth, made from a seed."""

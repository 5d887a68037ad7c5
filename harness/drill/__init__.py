"""Drills: comparisons whose answer is known, so that a gate which has gone blind, or alarms falsely, is found out."""

"""Figures: charts as SVG, and the HTML report of a comparison (`concur.plot.report`)."""

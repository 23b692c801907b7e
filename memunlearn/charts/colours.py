"""The colours of every figure, and how many points one shows."""

# Okabe and Ito's colours, told apart by people who do not see all of them; markers and line styles differ as well.
BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#777777"

POINTS_AT_MOST = 1000  # of a set or a series: more only hide each other, and make the page heavy

"""Words of the report."""

TITLE = "Published numbers and ours"

INTRO = (
    "Every number of the papers that gif_dash computes, too, beside the number that it computes: where they agree, "
    "where they do not, and the likely reason. Numbers that were not computed say so, with the command that computes "
    "them."
)

HOW = (
    "How to read it: in a cell stands the published number, then ours ± one standard error, from the number of test "
    "images and from the spread over sampling seeds together. = means that the published number lies within two such "
    "errors (and its own rounding), ↑ and ↓ that ours is higher or lower by more. A published number is itself one "
    "run, mostly without an error, of another network: the signs speak of these numbers, not of the methods. A claim "
    "holds if all its comparisons show it beyond two standard errors, does not hold if one shows the contrary, and is "
    "not shown otherwise; the rule is the same for every method."
)

"""The equations and choices of the layers, in HTML."""

from __future__ import annotations

ABOUT = """
<p>An edit changes the selected parameters J of every convolutional and linear layer, the same share MR of each. The
estimators then decide how far each of them moves. The paper asks (§5, third question) which layers that concerns;
here the answer is measured in three ways.</p>
<ul>
<li><b>Share of the update</b>: ‖Δ<sub>l</sub>‖²/‖Δ‖² for every layer l. The shares of all layers add up to 100 %; the
criterion decides which parameters of a layer may move, not how the update is divided among layers.</li>
<li><b>Size</b>: ‖Δ<sub>l</sub>‖/‖θ̂<sub>l</sub>‖ at s = 1, the method's own prediction, and s times that at the best
s, where the edit is used.</li>
<li><b>What a layer does alone</b>: the network θ̂ + s·Δ<sub>l</sub>, in which only this layer is edited, at the best
s of the <i>whole</i> edit, measured on the test images. With another s a layer alone may do more. Layers act
together: the effects of single layers do not add up to that of the whole.</li>
</ul>
<p><b>Retraining</b> moves layers too. The warm start (from θ̂, without the class) stays in the neighbourhood, and its
direction can be compared with Δ; how far it goes depends on how long it trains. The cold start is another basin:
every layer of it lies far away, whatever was forgotten, so its distance layer by layer is shown, but is no
target.</p>
<h3>Choices, and where they differ from the paper</h3>
<ul>
<li>Criteria and methods share one curvature sample and one gradient; selection, solve and best s are their own. The
best s is chosen as in class removal.</li>
<li>IF, Koh &amp; Liang's IF and IF2 change all parameters whatever the criterion; they stand with every criterion for
comparison.</li>
<li>Batch norm is never selected; its parameters stand in their own rows, with nothing selected.</li>
<li>The norm of a layer depends on how the network is scaled: multiplying one ReLU layer and dividing the next leaves
the function as it is and changes the shares. That is why what a layer does is measured besides.</li>
<li>Press a method's name to open that edit in class removal: the sweep along s, confusions, and the file to take
home.</li>
</ul>
<p>Lyu et al., <a href="https://arxiv.org/abs/2312.05586" target="_blank" rel="noopener">arXiv 2312.05586</a>.</p>
"""

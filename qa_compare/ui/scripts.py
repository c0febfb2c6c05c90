"""What runs in the browser beside a `gr.HTML`: given to it as `js_on_load`."""

# a click anywhere in something that can be picked; a button in it brings the keyboard, and, when it is made anew, keeps
# the focus
PICK = """
let picked = '';
element.addEventListener('click', event => {
    const one = event.target.closest('[data-pick]');
    if (!one || one.disabled) return;
    picked = one.dataset.pick;
    trigger(one.dataset.event || 'click', {pick: picked});
});
watch('value', () => {
    const again = picked && element.querySelector(`button[data-pick="${CSS.escape(picked)}"]`);
    if (again && document.activeElement === document.body) again.focus({preventScroll: true});
});
"""
# once new cards stand in the page, each passage scrolls, within its own box, to the answer
REVEAL = """
const reveal = () => {
    element.querySelectorAll('.passage').forEach(box => {
        const mark = box.querySelector('mark.predicted') || box.querySelector('mark.gold');
        if (mark) box.scrollTop = mark.offsetTop - (box.clientHeight - mark.offsetHeight) / 2;
    });
    if (element.querySelector('.chosen')) element.scrollIntoView({block: 'nearest'});
};
watch('value', reveal);
reveal();
"""
# read out when it changes
SPEAK = "element.setAttribute('role', 'status');"
